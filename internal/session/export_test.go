package session

// PoisonMessages has requests overwritten as soon as they are given back.
func PoisonMessages() { poisonMessages = true }
