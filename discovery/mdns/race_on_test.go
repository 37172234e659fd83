//go:build race

package mdns

// raceEnabled says that tests run several times slower.
const raceEnabled = true
