package mdns

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if code, isNode := runChild(os.Getenv(childEnv)); isNode {
		os.Exit(code)
	}
	goleak.VerifyTestMain(m)
}
