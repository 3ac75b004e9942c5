-- Calls whose final event is still to come, few at any time: what reapers counted of them is told to Redis after a loss.
CREATE INDEX charges_estimated ON charges (request_id) WHERE state = 'estimated';
