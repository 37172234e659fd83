package mux_test

import (
	"errors"
	"io"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/mux"
)

// A lentCall is a LaneCall that notes what becomes of it.
type lentCall struct {
	run                 func()
	started, ran, lates int
}

func (l *lentCall) Start() { l.started++ }
func (l *lentCall) Late()  { l.lates++ }
func (l *lentCall) Run() {
	l.ran++
	if l.run != nil {
		l.run()
	}
}

func (l *lentCall) want(t *testing.T, started, ran, lates int) {
	t.Helper()
	if l.started != started || l.ran != ran || l.lates != lates {
		t.Errorf("the call was started %d times, run %d times and late %d times, want %d, %d, %d",
			l.started, l.ran, l.lates, started, ran, lates)
	}
}

// lendRig returns a rig whose lane's byte 'C' is the next of the calls.
func lendRig(t *testing.T, calls ...*lentCall) *leadRig {
	t.Helper()
	r := newLeadRig(t, mux.Config{TimedReads: true})
	other := r.log.data
	r.log.led = func(p []byte) bool { return p[0] != 'C' }
	r.log.data = func(p []byte) error {
		if p[0] != 'C' {
			return other(p)
		}
		call := calls[0]
		calls = calls[1:]
		if !r.c.Lend(call) {
			call.Start()
		}
		if len(p) > 1 {
			return errors.New("as told")
		}
		return nil
	}
	return r
}

func (r *leadRig) call() {
	r.frame(0x10, 0, []byte("C"))
	synctest.Wait()
}

func TestLend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var role mux.Role
		call := new(lentCall)
		r := lendRig(t, call)
		call.run = func() { role = r.c.Role() }
		r.call()
		call.want(t, 0, 1, 0)
		if role != mux.RoleLent {
			t.Errorf("Role() = %d in Run, want %d", role, mux.RoleLent)
		}
		r.wantRole(mux.RoleLoop)
		r.frame(0x10, 0, []byte("next"))
		synctest.Wait()
		r.wantGot("next")
	})
}

// A call behind which there is more to read is run by another goroutine, and so is
// one that comes when there is one already.
func TestLendWithMoreToRead(t *testing.T) {
	for name, more := range map[string][]byte{
		"a frame":        rawFrame(0x10, 0, []byte("next")),
		"half a frame":   rawFrame(0x10, 0, []byte("next"))[:3],
		"half the frame": nil,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				call := new(lentCall)
				r := lendRig(t, call)
				b := append(rawFrame(0x10, 0, []byte("C")), more...)
				if more == nil {
					b[3] = 2 // there is another byte to come
				}
				r.link.Write(b)
				synctest.Wait()
				call.want(t, 1, 0, 0)
			})
		})
	}
}

// While a handler blocks, another goroutine reads within MaxLead.
func TestLendToOneThatBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		call := &lentCall{run: func() { <-release }}
		r := lendRig(t, call)
		r.call()
		r.wantRole(mux.RoleLent)
		r.frame(0x10, 0, []byte("next"))
		time.Sleep(mux.MaxLead)
		synctest.Wait()
		r.wantRole(mux.RoleLoop)
		r.wantGot("next")
		close(release)
		synctest.Wait()
		call.want(t, 0, 1, 1)
		r.frame(0x10, 0, []byte("last"))
		synctest.Wait()
		r.wantGot("nextlast")
	})
}

// Two handlers that block, one after the other, and return in the same order: one
// goroutine reads at any time, and one is left.
func TestLendTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := [2]chan struct{}{make(chan struct{}), make(chan struct{})}
		first := &lentCall{run: func() { <-release[0] }}
		second := &lentCall{run: func() { <-release[1] }}
		r := lendRig(t, first, second)
		r.call()
		r.c.ReadOn()
		r.wantRole(mux.RoleLoop)
		r.call()
		r.wantRole(mux.RoleLent)
		close(release[0])
		synctest.Wait()
		r.wantRole(mux.RoleLoop) // the first handler's goroutine has it
		r.frame(0x10, 0, []byte("next"))
		synctest.Wait()
		r.wantGot("next")
		close(release[1])
		synctest.Wait()
		second.want(t, 0, 1, 1)
		r.frame(0x10, 0, []byte("last"))
		synctest.Wait()
		r.wantGot("nextlast")
	})
}

// A handler that ends its goroutine, or the connection.
func TestLendToOneThatEnds(t *testing.T) {
	t.Run("goroutine", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			call := &lentCall{run: runtime.Goexit}
			r := lendRig(t, call)
			r.call()
			call.want(t, 0, 1, 1)
			r.frame(0x10, 0, []byte("next"))
			synctest.Wait()
			r.wantGot("next")
		})
	})
	t.Run("connection", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			closed := false
			call := new(lentCall)
			r := lendRig(t, call)
			go io.Copy(io.Discard, r.link)
			call.run = func() {
				r.c.CloseWithError(kith.OK, "from a handler")
				closed = true
			}
			r.call()
			time.Sleep(time.Second)
			synctest.Wait()
			if !closed {
				t.Fatal("CloseWithError() in a handler has not returned")
			}
			call.want(t, 0, 1, 1)
		})
	})
	t.Run("link", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			call := &lentCall{run: func() { <-release }}
			r := lendRig(t, call)
			r.call()
			r.wantRole(mux.RoleLent)
			r.link.Close()
			if e := ended(t, r.c); e.Code != kith.Unavailable {
				t.Errorf("ended by %v, want %v", e, kith.Unavailable)
			}
			r.c.CloseWithError(kith.OK, "")
			close(release)
			synctest.Wait()
			call.want(t, 0, 1, 1)
		})
	})
}

// A call that came with what ends the connection is started all the same.
func TestLendAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		call := new(lentCall)
		r := lendRig(t, call)
		go io.Copy(io.Discard, r.link)
		r.frame(0x10, 0, []byte("C and an error"))
		if e := ended(t, r.c); e.Code != kith.Internal {
			t.Errorf("ended by %v, want %v", e, kith.Internal)
		}
		r.c.CloseWithError(kith.OK, "")
		call.want(t, 1, 0, 0)
	})
}

// A call that comes to who leads is readLoop's.
func TestLendWhileLed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		call := new(lentCall)
		r := lendRig(t, call)
		r.frame(0x10, 0, []byte("!"))
		synctest.Wait()
		r.wantRole(mux.RoleFree)
		led := r.lead()
		r.wantRole(mux.RoleLed)
		r.call()
		if <-led {
			t.Error("Lead() = true with a call to be run")
		}
		synctest.Wait()
		call.want(t, 0, 1, 0)
		r.wantRole(mux.RoleLoop)
	})
}

// A link that cannot tell whether a write would wait is written to where one call
// follows the other: by a caller while callers read, by a handler also while the
// reader runs it.
func TestTryLaneWhileCalm(t *testing.T) {
	try := func(r *leadRig, patient, want bool) {
		r.t.Helper()
		small, large := make([]byte, mux.Headroom+10), make([]byte, mux.Headroom+5<<10)
		if got := r.c.TryLane(small, patient); got != want {
			r.t.Errorf("TryLane(%v) with the role %d = %v, want %v", patient, r.c.Role(), got, want)
		}
		if r.c.TryLane(large, patient) {
			r.t.Error("TryLane() of what need not fit the link's buffer = true")
		}
	}
	synctest.Test(t, func(t *testing.T) {
		call := new(lentCall)
		r := lendRig(t, call)
		go io.Copy(io.Discard, r.link)
		if err := r.c.WriteLane(make([]byte, mux.Headroom+1)); err != nil { // the preface goes first
			t.Fatal(err)
		}
		try(r, false, false)
		try(r, true, false)
		call.run = func() {
			try(r, false, false)
			try(r, true, true)
		}
		r.call()
		call.want(t, 0, 1, 0)
		r.frame(0x10, 0, []byte("!"))
		synctest.Wait()
		r.wantRole(mux.RoleFree)
		try(r, false, true)
		try(r, true, true)
	})
}
