package flood_test

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

var (
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
