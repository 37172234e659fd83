package flood_test

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

var (
	// From one goroutine a good client calls for half as long.
	phaseFlag   = flag.Duration("phase", 200*time.Millisecond, "how long a good client calls in a phase from all its goroutines")
	tableFlag   = flag.Bool("table", false, "print what BenchmarkFlood measured as a table of markdown")
	profileFlag = flag.String("profile", "", "directory for the server's processor profiles")
)

// roleEnv says, in a process that a benchmark started, what it is.
const roleEnv = "KITH_FLOOD_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleEnv); role != "" {
		os.Exit(runChild(role))
	}
	flag.Parse()
	code := m.Run()
	if *tableFlag {
		printTable(os.Stdout, rows)
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}
