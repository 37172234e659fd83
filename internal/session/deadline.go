package session

import (
	"context"
	"time"

	"github.com/kith-go/kith"
)

// resetGrace is how long after its time a streaming call may still be telling
// its caller so.
const resetGrace = time.Second

// Bound ends a streaming call that is being served: from t on its handler
// receives nothing more, and [resetGrace] later the stream is reset, which ends
// also a send that the caller does not read. It does nothing where the caller's
// deadline is earlier, nor for a lane call: its request is there, and its answer
// waits for nobody. Stop undoes the second part, for a handler that returned in
// time. Middleware finds Bound in the [kith.Inbound] of the handler's ctx.
//
// It does not use the stream's write deadline: a message cut off in the middle
// would take the outcome behind it for its own end.
func (c *inCall) Bound(t time.Time) (stop func()) {
	if !c.isStream() || !c.deadline.IsZero() && c.deadline.Before(t) {
		return func() {}
	}
	st := c.stream.st
	_ = st.SetReadDeadline(t)
	timer := time.AfterFunc(time.Until(t)+resetGrace, func() {
		c.end(context.DeadlineExceeded)
		st.Reset(kith.DeadlineExceeded)
	})
	return func() { timer.Stop() }
}
