"""What people do, in a real browser against the product as a process."""
