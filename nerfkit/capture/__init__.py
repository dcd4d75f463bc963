"""What people's cameras give: photos found, checked and turned upright."""
