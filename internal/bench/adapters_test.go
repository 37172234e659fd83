package main

import (
	"bytes"
	"context"
	"reflect"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestSystems takes every system through what the workloads do with it.
func TestSystems(t *testing.T) {
	for _, s := range systems {
		t.Run(s.name, func(t *testing.T) {
			before := goleak.IgnoreCurrent()
			// The bound tells a hang from an end; no call comes near to it.
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			useSystem(ctx, t, s)
			if s.end != nil {
				if err := s.end(); err != nil {
					t.Errorf("end() = %v, want nil", err)
				}
			}
			if err := goleak.Find(before); err != nil {
				t.Errorf("after Close of both ends: %v", err)
			}
		})
	}
}

func useSystem(ctx context.Context, t *testing.T, s system) {
	t.Helper()
	srv, err := s.serve("")
	if err != nil {
		t.Fatalf("serve = %v", err)
	}
	defer func() {
		if err := srv.Close(); err != nil {
			t.Errorf("server Close = %v, want nil", err)
		}
	}()
	c, err := s.dial(ctx, srv.Addr())
	if err != nil {
		t.Errorf("dial(%q) = %v", srv.Addr(), err)
		return
	}
	defer func() {
		if err := c.Close(); err != nil {
			t.Errorf("client Close = %v, want nil", err)
		}
	}()
	for _, n := range []int{0, 1, 32, 1 << 10, 16<<10 + 1, 64 << 10} {
		echo(ctx, t, c, n)
	}
	if s.callers == 0 {
		callersAtOnce(ctx, t, c)
	}
	if st, ok := c.(streamer); ok {
		msg := bytes.Repeat([]byte{7}, 64<<10)
		for _, n := range []int{1, 50} {
			if err := st.Send(ctx, msg, n); err != nil {
				t.Errorf("Send(64 KiB, %d) = %v, want nil", n, err)
			}
		}
		echo(ctx, t, c, 32) // a stream leaves the connection as it was
	}
	if ty, ok := c.(typed); ok {
		in := &item{ID: 1 << 40, Name: "Ada", Score: 1.5, Tags: []string{"a", "b"}, Active: true}
		out, err := ty.CallTyped(ctx, in)
		if err != nil || !reflect.DeepEqual(in, out) {
			t.Errorf("CallTyped(%+v) = %+v, %v, want the same and nil", in, out, err)
		}
	}
}

// echo reports whether n bytes came back as they went.
func echo(ctx context.Context, t *testing.T, c client, n int) bool {
	t.Helper()
	req := make([]byte, n)
	for i := range req {
		req[i] = byte(i*7 + n)
	}
	got, err := c.Call(ctx, req)
	if err != nil || !bytes.Equal(got, req) {
		t.Errorf("Call(%d bytes) = %d bytes, %v, want the same bytes and nil", n, len(got), err)
		return false
	}
	return true
}

// callersAtOnce sends payloads whose lengths differ, so that answers that were crossed
// would show.
func callersAtOnce(ctx context.Context, t *testing.T, c client) {
	t.Helper()
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 20 {
				if !echo(ctx, t, c, 100*g+i+1) {
					return
				}
			}
		})
	}
	wg.Wait()
}
