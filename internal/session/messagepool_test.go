package session_test

import (
	"bytes"
	"context"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/memory"
)

// A request on a stream is the handler's until it returns, and until the answer is
// sent that is the request itself; whatever other calls come and go meanwhile. The
// buffer is overwritten when it is given back, and given to another call then.
func TestLargeRequestIsTheHandlers(t *testing.T) {
	sizes := []int{17 << 10, 64 << 10, 64<<10 + 1, 150 << 10}
	const callers, rounds = 4, 8
	overTransports(t, func(t *testing.T, tr transport.Transport) {
		mirror := kith.Unary[[]byte, []byte]("test/Mirror")
		var h kith.Handlers
		mirror.Handle(&h, func(_ context.Context, p []byte) ([]byte, error) {
			runtime.Gosched()
			if want := bytes.Repeat(p[:1], len(p)); !bytes.Equal(p, want) {
				t.Errorf("a handler's request of %d bytes changed", len(p))
			}
			return p, nil
		})
		p := connect(t, tr, &h, nil)
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() {
				for n := range rounds {
					req := bytes.Repeat([]byte{byte(1 + n)}, sizes[(i+n)%len(sizes)])
					got, err := mirror.Call(t.Context(), p.dialed, req)
					if err != nil || !bytes.Equal(got, req) {
						t.Errorf("Call of %d bytes = %d bytes, %v, want the request", len(req), len(got), err)
						return
					}
				}
			})
		}
		wg.Wait()
	})
}

// What a handler receives may go on in a goroutine that it leaves behind. That
// gets an error, and no message of anybody else.
func TestRecvOutlivesHandler(t *testing.T) {
	pieces := kith.Bidi[[]byte, []byte]("test/Pieces")
	synctest.Test(t, func(t *testing.T) {
		tr := memory.New(memory.Config{})
		defer func() { _ = tr.Close() }()
		var h kith.Handlers
		left, second := make(chan error, 1), make(chan error, 1)
		pieces.Handle(&h, func(_ context.Context, d *kith.Duplex[[]byte, []byte]) error {
			if _, err := d.Recv(); err != nil {
				return err
			}
			go func() {
				_, err := d.Recv()
				left <- err
			}()
			synctest.Wait() // it receives
			_, err := d.Recv()
			second <- err
			return nil
		})
		p := connect(t, tr, &h, nil)
		d, err := pieces.Call(t.Context(), p.dialed)
		if err != nil {
			t.Fatalf("Call = %v", err)
		}
		defer func() { _ = d.Close() }()
		if err := d.Send(make([]byte, 32<<10)); err != nil {
			t.Fatalf("Send = %v", err)
		}
		if err := <-second; err == nil {
			t.Error("Recv beside another Recv = nil, want an error")
		}
		if err := <-left; err == nil {
			t.Error("Recv after the handler's return = nil, want an error")
		}
		if _, err := d.Recv(); err == nil {
			t.Error("Recv of the caller = nil, want the end of the call")
		}
	})
}
