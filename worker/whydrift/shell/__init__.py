"""The only code that touches Kafka, HTTP, clocks, files and metrics."""
