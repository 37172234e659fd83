package mux

// CheckChunks makes the package look for pooled memory that is used after it
// was given back. It is slow.
func CheckChunks() { poison = true }

// Grown is what all windows together have drawn from the budget.
func Grown() int64 { return 1<<30 - growth.left.Load() }
