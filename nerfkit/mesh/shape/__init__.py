"""The surface made fit for use: cut out, cleaned, closed, smoothed, simplified."""
