"""3D Gaussians (Kerbl et al. 2023), made for short runs: a budget that grows, schedules by progress."""
