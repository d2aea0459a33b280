"""Alert noise: episodes of alerts, what they turned out to be, and how many were false. Pure."""
