"""A3C: workers that learn side by side on shared weights, without a lock."""
