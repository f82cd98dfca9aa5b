"""What a recorded rollout tells: timeline, summary, findings, pages, videos, replay."""
