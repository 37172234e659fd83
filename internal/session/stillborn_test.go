package session

import (
	"testing"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
)

// stillborn is a stream of which nothing but Reset may be used.
type stillborn struct {
	transport.Stream
	resets int
}

func (st *stillborn) Stillborn() bool { return true }
func (st *stillborn) Reset(kith.Code) { st.resets++ }

// A stream that comes reset is done with when onStream returns: no goroutine is
// started for it. Where no stream may come yet, it is one all the same.
func TestStillbornStreamStartsNothing(t *testing.T) {
	st, s := new(stillborn), new(Session)
	s.admitted.Store(true)
	if s.onStream(st); st.resets != 1 {
		t.Errorf("a stream that came reset was reset %d times, want once", st.resets)
	}
}
