"""How services speak over NATS JetStream: connecting, providing streams, mirrors of buckets, consuming in batches."""
