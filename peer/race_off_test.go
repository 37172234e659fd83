//go:build !race

package peer

// Race says that tests run several times slower.
const Race = false
