package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
)

// What connections are told that are turned away.
var (
	errFull = kith.NewError(kith.ResourceExhausted, "too_many_connections", "too many connections here").Refusal()
	errStop = kith.NewError(kith.Unavailable, "shutting_down", "the server is shutting down").Refusal()
)

// errPanicked is why a connection is refused whose policy panicked.
var errPanicked = errors.New("the policy panicked")

// refused marks that Admit turned a connection away, limited that a limit or
// the server's end did.
type (
	refused struct{ error }
	limited struct{ error }
)

func (r refused) Unwrap() error { return r.error }
func (l limited) Unwrap() error { return l.error }

// policy is Config.Admit, until the server begins to end.
type policy struct {
	s     *Server
	inner admit.Policy
}

func (p *policy) Present(ctx context.Context, info transport.Info) ([]byte, error) {
	return p.inner.Present(ctx, info)
}

// Admit also keeps a panic of a policy, which looks at what a stranger
// presents, from ending the process.
func (p *policy) Admit(ctx context.Context, info transport.Info, presented []byte) (g admit.Grant, err error) {
	if p.s.stopping() {
		return admit.Grant{}, limited{errStop}
	}
	defer func() {
		if r := recover(); r != nil {
			p.s.log.write(slog.LevelError, "admission policy panicked",
				slog.String("panic", clean(fmt.Sprint(r))), slog.String("stack", string(debug.Stack())))
			g, err = admit.Grant{}, refused{errPanicked}
		}
	}()
	if g, err = p.inner.Admit(ctx, info, presented); err != nil {
		return admit.Grant{}, refused{err}
	}
	return g, nil
}

// refuseAll turns every connection away, in a hello, where the other side gets
// a typed error for it.
type refuseAll struct{ err error }

func (refuseAll) Present(context.Context, transport.Info) ([]byte, error) { return nil, nil }

func (r refuseAll) Admit(context.Context, transport.Info, []byte) (admit.Grant, error) {
	return admit.Grant{}, limited{r.err}
}
