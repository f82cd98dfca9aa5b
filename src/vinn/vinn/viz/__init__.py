"""Pictures of what the policy does: mosaics, videos, plots and the HTML report."""
