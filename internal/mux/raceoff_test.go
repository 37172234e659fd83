//go:build !race

package mux

// raceEnabled: what is long without the race detector is very long with it.
const raceEnabled = false
