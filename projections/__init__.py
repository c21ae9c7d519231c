"""The read side: folds the ledger into read models and analytics facts."""
