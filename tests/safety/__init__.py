"""What files and processes can do to a run: damaged and hostile files, kill -9, read-only and full disks."""
