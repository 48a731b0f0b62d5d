"""From rollouts to what is learned from them: the batch, and a summary."""
