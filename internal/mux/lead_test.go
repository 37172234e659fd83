package mux_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/identity"
	"github.com/kith-go/kith/internal/mux"
	"github.com/kith-go/kith/transport"
)

// A leadRig is a Conn whose other end is a raw one, and whose lane's first byte '!'
// offers the reading role.
type leadRig struct {
	raw
	c   *mux.Conn
	log *laneLog
}

// freeRig returns a rig whose role is free.
func freeRig(t *testing.T) *leadRig {
	t.Helper()
	r := newLeadRig(t, mux.Config{TimedReads: true})
	r.frame(0x10, 0, []byte("!"))
	synctest.Wait()
	r.wantRole(mux.RoleFree)
	return r
}

func newLeadRig(t *testing.T, cfg mux.Config) *leadRig {
	t.Helper()
	c, peer := rawPair(t, cfg)
	r := &leadRig{raw: peer, c: c}
	r.serve()
	return r
}

// serve takes what comes on the lane.
func (r *leadRig) serve() {
	r.log = newLaneLog(0)
	r.log.data = func(p []byte) error {
		switch p[0] {
		case '!':
			r.c.Offer()
		case 'E':
			return &transport.ConnError{Code: kith.DataLoss, Reason: "as told"}
		default:
			r.log.got = append(r.log.got, p...)
		}
		return nil
	}
	r.c.StartLane(r.log)
}

func (r *leadRig) wantRole(want mux.Role) {
	r.t.Helper()
	if got := r.c.Role(); got != want {
		r.t.Fatalf("Role() = %d, want %d", got, want)
	}
}

func (r *leadRig) wantGot(want string) {
	r.t.Helper()
	if got := string(r.log.got); got != want {
		r.t.Errorf("the lane got %q, want %q", got, want)
	}
}

// lead starts a caller that reads, and returns what Lead does.
func (r *leadRig) lead() chan bool {
	ch := make(chan bool, 1)
	go func() {
		led := r.c.Lead()
		if led {
			r.c.Leave(true)
		}
		ch <- led
	}()
	synctest.Wait()
	return ch
}

// ledRig returns a rig whose role a caller has, which waits.
func ledRig(t *testing.T) (*leadRig, chan bool) {
	t.Helper()
	r := freeRig(t)
	led := r.lead()
	r.wantRole(mux.RoleLed)
	return r, led
}

func TestLead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, led := ledRig(t)
		r.frame(0x10, 0, []byte("one"))
		if !<-led {
			t.Error("Lead() = false, want true with a frame of the lane")
		}
		r.wantRole(mux.RoleFree)
		r.wantGot("one")
		time.Sleep(mux.MaxLead)
		synctest.Wait()
		r.wantRole(mux.RoleLoop)
		r.frame(0x10, 0, []byte("two"))
		synctest.Wait()
		r.wantGot("onetwo")
	})
}

// Who leads reads for MaxLead at the longest, and nothing is lost, also of a frame
// of which a part has come.
func TestLeadIsInterrupted(t *testing.T) {
	frame := rawFrame(0x10, 0, []byte("later"))
	for _, part := range []int{0, 1, 11, 12, 14} {
		synctest.Test(t, func(t *testing.T) {
			r, led := ledRig(t)
			start := time.Now()
			r.link.Write(frame[:part])
			if <-led {
				t.Error("Lead() = true with nothing whole to read")
			}
			if took := time.Since(start); took > mux.MaxLead {
				t.Errorf("Lead() took %v, want at most %v", took, mux.MaxLead)
			}
			synctest.Wait()
			r.wantRole(mux.RoleLoop)
			r.link.Write(frame[part:])
			synctest.Wait()
			r.wantGot("later")
		})
	}
}

// What is not the lane's goes to readLoop, behind what is.
func TestLeadMeetsOtherFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, led := ledRig(t)
		opened := 0
		r.log.stream = func(s *mux.Stream) { opened++; s.Reset(kith.Canceled) }
		b := appendRaw(nil, 0x10, 0, []byte("before"))
		b = appendRaw(b, 0x11, 1, []byte("x"))
		b = appendRaw(b, 0x10, 0, []byte("behind"))
		r.link.Write(b)
		if <-led {
			t.Error("Lead() = true with a stream to be opened")
		}
		synctest.Wait()
		r.wantGot("beforebehind")
		if opened != 1 {
			t.Errorf("%d streams were opened, want 1", opened)
		}
		r.wantRole(mux.RoleLoop)
		r.frame(0x10, 0, []byte("!"))
		synctest.Wait()
		r.wantRole(mux.RoleLoop) // what the other side says of the stream is yet to come
	})
}

// Who leads takes one frame, and does not rest for thousands behind it.
func TestLeadTakesOneFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, led := ledRig(t)
		var b []byte
		for range 5000 {
			b = appendRaw(b, 0x10, 0, []byte("x"))
		}
		start := time.Now()
		go r.link.Write(b)
		if <-led {
			t.Error("Lead() = true with more to read")
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("Lead() took %v with all there, want no time", took)
		}
		time.Sleep(time.Second) // readLoop rests for them
		synctest.Wait()
		r.wantGot(strings.Repeat("x", 5000))
	})
}

// What the lane's handler does not take from who leads comes to readLoop.
func TestLeadLeavesAFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, led := ledRig(t)
		r.log.led = func([]byte) bool { return false }
		r.frame(0x10, 0, []byte("x"))
		if <-led {
			t.Error("Lead() = true with a frame that was not taken")
		}
		synctest.Wait()
		r.wantRole(mux.RoleLoop)
		r.wantGot("x")
	})
}

// The connection ends of the same as if nobody had led.
func TestLeadMeetsTheEnd(t *testing.T) {
	for name, tc := range map[string]struct {
		send   func(r *leadRig)
		code   kith.Code
		remote bool
		cause  error
	}{
		"close": {code: kith.DataLoss, remote: true, send: func(r *leadRig) {
			r.frame(0x60, 0, append(u32(uint32(kith.DataLoss)), "why"...))
		}},
		"close behind an answer": {code: kith.DataLoss, remote: true, send: func(r *leadRig) {
			b := appendRaw(nil, 0x10, 0, []byte("answer"))
			r.link.Write(appendRaw(b, 0x60, 0, append(u32(uint32(kith.DataLoss)), "why"...)))
			r.link.Close()
		}},
		"end of the link":  {code: kith.Unavailable, cause: io.ErrUnexpectedEOF, send: func(r *leadRig) { r.link.(*pipeEnd).CloseWrite() }},
		"lane's own error": {code: kith.DataLoss, send: func(r *leadRig) { r.frame(0x10, 0, []byte("E")) }},
		"breach":           {code: kith.Internal, send: func(r *leadRig) { r.link.Write(make([]byte, 100)) }},
		"half a frame": {code: kith.Unavailable, cause: io.ErrUnexpectedEOF, send: func(r *leadRig) {
			r.link.Write(rawFrame(0x10, 0, []byte("cut"))[:14])
			r.link.(*pipeEnd).CloseWrite()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, led := ledRig(t)
				go io.Copy(io.Discard, r.link)
				tc.send(r)
				<-led
				e := ended(t, r.c)
				if e.Code != tc.code || e.Remote != tc.remote || tc.cause != nil && !errors.Is(e.Err, tc.cause) {
					t.Errorf("ended by %+v, want code %v, remote %v, cause %v", e, tc.code, tc.remote, tc.cause)
				}
				r.link.Close()
			})
		})
	}
}

// Whoever closes the connection has who leads return at once.
func TestCloseWhileLed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, led := ledRig(t)
		start := time.Now()
		go r.c.CloseWithError(kith.OK, "enough")
		if <-led {
			t.Error("Lead() = true on a closed connection")
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("Lead() returned %v after the end", took)
		}
		r.link.Close()
		r.c.CloseWithError(kith.OK, "")
		if r.lead(); r.c.Role() != mux.RoleLoop {
			t.Errorf("Role() = %d after the end, want %d", r.c.Role(), mux.RoleLoop)
		}
	})
}

func TestCloseWhileFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := freeRig(t)
		go io.Copy(io.Discard, r.link)
		start := time.Now()
		r.c.CloseWithError(kith.OK, "enough")
		if took := time.Since(start); took > 100*time.Millisecond {
			t.Errorf("CloseWithError() took %v, want no more than without a free role", took)
		}
	})
}

// Others who wait for what comes have readLoop come back.
func TestReadOn(t *testing.T) {
	t.Run("free", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := freeRig(t)
			r.c.ReadOn()
			r.wantRole(mux.RoleLoop)
		})
	})
	t.Run("led", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, led := ledRig(t)
			if <-r.lead() {
				t.Error("a second Lead() = true")
			}
			r.wantRole(mux.RoleLed)
			r.frame(0x10, 0, []byte("x"))
			<-led
			synctest.Wait()
			r.wantRole(mux.RoleLoop)
		})
	})
	t.Run("stream", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := freeRig(t)
			s, err := r.c.OpenStream(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			r.wantRole(mux.RoleLoop)
		})
	})
}

// Where reads cannot be interrupted, nobody else ever reads.
func TestNoOfferWithoutTimedReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newLeadRig(t, mux.Config{})
		r.frame(0x10, 0, []byte("!"))
		synctest.Wait()
		r.wantRole(mux.RoleLoop)
		if r.c.Lead() {
			t.Error("Lead() = true on a link whose reads cannot be interrupted")
		}
	})
}

// A flood of what the lane does not want ends the connection as ever, though
// somebody leads again and again.
func TestLedFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := freeRig(t)
		go io.Copy(io.Discard, r.link)
		go func() {
			b := rawFrame(0x10, 0, []byte("!"))
			for range 1000 {
				b = appendRaw(b, 0x10, 0, nil)
			}
			for {
				if _, err := r.link.Write(b); err != nil {
					return
				}
			}
		}()
		ctx := r.c.Context()
		for ctx.Err() == nil {
			if r.c.Lead() {
				r.c.Leave(true)
			}
			time.Sleep(time.Microsecond)
		}
		ce := transport.ConnErr(ctx)
		if ce == nil || ce.Code != kith.Internal {
			t.Errorf("ended by %v, want %v", context.Cause(ctx), kith.Internal)
		}
	})
}

// Who leads reads frames of all sizes that a call can have; readLoop those that
// are larger.
func TestLeadSizes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := freeRig(t)
		var want []byte
		for i, size := range []int{1, 499, 500, 501, 4084, 4085, 10 << 10, 16 << 10, 64<<10 - 12, 64<<10 - 11, 100 << 10, 1 << 20, 5} {
			p := bytes.Repeat([]byte{byte(i) | 0x80}, size)
			want = append(want, p...)
			led := r.lead()
			r.wantRole(mux.RoleLed)
			r.frame(0x10, 0, p)
			if got := <-led; got != (size <= 64<<10-12) {
				t.Errorf("Lead() = %v with a frame of %d bytes", got, size)
			}
			synctest.Wait()
			if r.c.Role() == mux.RoleLoop {
				r.frame(0x10, 0, []byte("!"))
				synctest.Wait()
			}
		}
		if !bytes.Equal(r.log.got, want) {
			t.Errorf("the lane got %d bytes, want %d, or others", len(r.log.got), len(want))
		}
	})
}

// A heldConn keeps what is written to it while hold is true.
type heldConn struct {
	net.Conn
	hold bool
	held []byte
}

func (h *heldConn) Write(p []byte) (int, error) {
	if h.hold {
		h.held = append(h.held, p...)
		return len(p), nil
	}
	return h.Conn.Write(p)
}

// A read that is interrupted in the middle of a TLS record loses nothing.
func TestLeadIsInterruptedInARecord(t *testing.T) {
	for _, part := range []int{0, 1, 4, 5, 6, 20, 1 << 20} {
		synctest.Test(t, func(t *testing.T) {
			a, b := newPipe()
			wire := &heldConn{Conn: a}
			key, theirs := kith.NewKey(), kith.NewKey()
			scfg, _ := (&identity.Holder{Key: theirs}).ServerTLS()
			ccfg, _ := (&identity.Holder{Key: key}).ClientTLS(theirs.ID())
			peer := tls.Server(wire, scfg)
			near := tls.Client(b, ccfg)
			shaken := make(chan error, 1)
			go func() { shaken <- peer.Handshake() }()
			if err := errors.Join(near.Handshake(), <-shaken); err != nil {
				t.Fatal(err)
			}
			r := &leadRig{raw: raw{t, peer}, c: mux.New(near, mux.Config{TimedReads: true, ReadPreface: true})}
			defer a.Close()
			closed(t, r.c)
			r.serve()
			r.frame(0x10, 0, []byte("!"))
			synctest.Wait()
			led := r.lead()
			r.wantRole(mux.RoleLed)

			wire.hold = true
			r.frame(0x10, 0, []byte("later"))
			part := min(part, len(wire.held)-1)
			a.Write(wire.held[:part])
			if <-led {
				t.Errorf("Lead() = true with %d of the record's %d bytes", part, len(wire.held))
			}
			r.wantRole(mux.RoleLoop)
			a.Write(wire.held[part:])
			wire.hold = false
			r.frame(0x10, 0, []byte(", and more"))
			synctest.Wait()
			r.wantGot("later, and more")
		})
	}
}

// Who leads may read with a large buffer. It is given back as ever.
func TestQuietBufferAfterLead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := newPipe()
		defer near.Close()
		link := &roomLink{pipeEnd: far}
		r := &leadRig{raw: raw{t, near}, c: closed(t, mux.New(link, mux.Config{TimedReads: true, ReadPreface: true}))}
		r.serve()
		r.frame(0x10, 0, []byte("!"))
		synctest.Wait()
		for range 3 {
			led := r.lead()
			r.wantRole(mux.RoleLed)
			r.frame(0x10, 0, bytes.Repeat([]byte("x"), 16<<10))
			if !<-led {
				t.Error("Lead() = false, want true with a frame of the lane")
			}
		}
		if most := link.most.Load(); most < 16<<10 {
			t.Errorf("16 KiB were read with a buffer of %d", most)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if room := link.room.Load(); room != 512 {
			t.Errorf("idle, Read has a buffer of %d, want 512", room)
		}
	})
}
