"""What a policy does in its environment: roll-outs, statistics, the gate, the report."""
