package session_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/kith-go/kith/internal/session"
)

func TestMain(m *testing.M) {
	session.PoisonMessages()
	goleak.VerifyTestMain(m)
}
