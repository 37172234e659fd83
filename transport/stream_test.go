package transport_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
)

// scripted is a Stream that notes its calls, and whose Write fails with err.
type scripted struct {
	calls []string
	err   error
}

func (s *scripted) Read([]byte) (int, error)         { panic("not called") }
func (s *scripted) Close() error                     { panic("not called") }
func (s *scripted) Reset(kith.Code)                  { panic("not called") }
func (s *scripted) SetReadDeadline(time.Time) error  { panic("not called") }
func (s *scripted) SetWriteDeadline(time.Time) error { panic("not called") }

func (s *scripted) Write(p []byte) (int, error) {
	s.calls = append(s.calls, "Write "+string(p))
	return 0, s.err
}

func (s *scripted) CloseWrite() error {
	s.calls = append(s.calls, "CloseWrite")
	return nil
}

// scriptedLast can do both in one.
type scriptedLast struct{ scripted }

func (s *scriptedLast) WriteLast(p []byte) error {
	s.calls = append(s.calls, "WriteLast "+string(p))
	return s.err
}

func TestWriteLast(t *testing.T) {
	bad := errors.New("bad")
	for _, tt := range []struct {
		name string
		p    string
		last bool
		err  error
		want []string
	}{
		{"plain", "x", false, nil, []string{"Write x", "CloseWrite"}},
		{"plain, nothing to write", "", false, nil, []string{"CloseWrite"}},
		{"plain, failing", "x", false, bad, []string{"Write x"}},
		{"in one", "x", true, nil, []string{"WriteLast x"}},
		{"in one, nothing to write", "", true, nil, []string{"WriteLast "}},
		{"in one, failing", "x", true, bad, []string{"WriteLast x"}},
	} {
		s := &scriptedLast{scripted{err: tt.err}}
		var st transport.Stream = &s.scripted
		if tt.last {
			st = s
		}
		if err := transport.WriteLast(st, []byte(tt.p)); err != tt.err || !slices.Equal(s.calls, tt.want) {
			t.Errorf("%s: WriteLast(%q) = %v after %q, want %v after %q", tt.name, tt.p, err, s.calls, tt.err, tt.want)
		}
	}
}
