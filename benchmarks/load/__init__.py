"""Load runs with wrk against Trilith and, side by side, against SeaweedFS."""
