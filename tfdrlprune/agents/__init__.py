"""All that is known here of TF-Agents and Gymnasium: environments, agents, the fit loop."""
