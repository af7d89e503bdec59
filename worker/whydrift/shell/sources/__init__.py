"""Where records come from, other than Kafka's consumer group (`whydrift.shell.clients`): one source per file."""
