"""The processes beside the API: projecting, tracking, and the command line."""
