"""Plans, budgets, run folders and the engines that fill them."""
