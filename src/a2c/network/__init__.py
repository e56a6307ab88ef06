"""The network: torsos, heads and normaliser, its passes over a rollout, and its weights as one vector."""
