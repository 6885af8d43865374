"""What an architecture costs: parameters, activations, operations, memory and receptive fields."""
