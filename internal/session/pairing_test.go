package session_test

import (
	"reflect"
	"testing"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/session"
	"github.com/kith-go/kith/transport/admit"
)

// judge is a Pairer that notes what it was asked.
type judge struct {
	asked  session.Remote
	answer session.Pairing
	err    error
}

func (j *judge) Judge(_ *session.Session, r session.Remote) (session.Pairing, error) {
	j.asked = r
	return j.answer, j.err
}

func (*judge) Instance() [8]byte { return [8]byte{} }

// What peers say of their connections reaches the other side, both ways, and
// the Pairer can refuse.
func TestPairing(t *testing.T) {
	says := session.Pairing{Attempt: 5, Eager: true, Holds: []session.Held{{Mine: true, Attempt: 4}, {Attempt: 1}}}
	full := kith.NewError(kith.ResourceExhausted, "mesh_full", "enough neighbours")
	for name, want := range map[string]error{"taken": nil, "refused": full} {
		t.Run(name, func(t *testing.T) {
			j := &judge{answer: session.Pairing{Attempt: 9}, err: want}
			in := session.Config{Admit: admit.Anyone(), Pairer: j}.Defaults()
			out := session.Config{Instance: [8]byte{1, 2}}.Defaults()
			dialed, accepted := conns(t, overMemory(t))
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				if s, err := session.Accept(t.Context(), accepted, &in); err == nil {
					<-s.Ended()
				}
			}()
			s, err := session.DialPaired(t.Context(), dialed, &out, says)
			if kith.CodeOf(err) != kith.CodeOf(want) || (want != nil && !kith.Unprocessed(err)) {
				t.Fatalf("DialPaired = %v, want %v", err, want)
			}
			if err == nil {
				if got := s.Remote(); got.Attempt != 9 || got.Holds != nil || got.Eager {
					t.Errorf("Remote() = %+v, want attempt 9 alone", got)
				}
				_ = s.Close(kith.OK, "")
			}
			<-ended
			if got := j.asked; got.Instance != out.Instance || !reflect.DeepEqual(got.Pairing, says) {
				t.Errorf("asked to judge %+v, want %+v", got, says)
			}
		})
	}
}
