//go:build !unix

package flood_test

import "time"

// cpuTime returns zero: where the processor time of a process is not known, the
// control burns none.
func cpuTime() time.Duration { return 0 }
