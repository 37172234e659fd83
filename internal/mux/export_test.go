package mux

// CheckChunks makes the package look for pooled memory that is used after it
// was given back. It is slow.
func CheckChunks() { poison = true }
