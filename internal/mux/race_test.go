//go:build race

package mux_test

// raceEnabled: sync.Pool forgets at random under the race detector.
const raceEnabled = true
