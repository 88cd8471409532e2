"""What operators see and do: how the jobs run, how the platform is, what is kept for how long."""
