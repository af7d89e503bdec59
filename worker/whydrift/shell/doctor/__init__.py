"""What `whydrift doctor` looks at: the configuration against the real world. Nothing is written, sent or joined."""
