"""What tests of more than one package share: real servers, fixed clocks."""
