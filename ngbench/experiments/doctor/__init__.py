"""What stands between this machine and measurements that can be trusted, and what to do about it."""
