package flood_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// BenchmarkFlood measures each attack over each transport. One operation is a
// round of three phases. See the package comment.
func BenchmarkFlood(b *testing.B) {
	eachAttack(func(name string, a *attack) {
		b.Run(name+"/"+strings.ReplaceAll(a.name, " ", "-"), func(b *testing.B) {
			rows = append(rows, benchFlood(b, name, a))
		})
	})
}

// A bench is the processes of a row.
type bench struct {
	name, addr                string
	a                         *attack
	server, attacker, spinner *child
	g                         *goodClient
}

func benchFlood(b *testing.B, name string, a *attack) *row {
	s := &bench{
		name: name, a: a, server: startChild(b, "server"),
		attacker: startChild(b, "attacker"), spinner: startChild(b, "spinner"),
	}
	s.server.do(b, command{Do: "serve", Transport: name, Attack: a.name}, &s.addr)
	var err error
	if s.g, err = dialGood(b.Context(), name, s.addr); err != nil {
		b.Fatal(err)
	}
	defer s.g.close()
	s.g.measure(b.Context(), *phaseFlag) // it gets warm
	r := &row{transport: name, attack: a.name}
	for b.Loop() {
		s.round(b, r)
	}
	r.report(b)
	return r
}

// round measures the three phases once.
func (s *bench) round(b *testing.B, r *row) {
	alone := s.phase(b, "")

	s.attacker.do(b, command{Do: "start", Transport: s.name, Attack: s.a.name, Addr: s.addr}, nil)
	file := ""
	if *profileFlag != "" {
		file = filepath.Join(*profileFlag, s.name+"-"+strings.ReplaceAll(s.a.name, " ", "-")+".pprof")
	}
	attacked := s.phase(b, file)
	var x attackPhase
	s.attacker.do(b, command{Do: "stop"}, &x)
	s.server.do(b, command{Do: "settle"}, nil)

	s.spinner.do(b, command{Do: "start", Share: x.CPU}, nil)
	control := s.phase(b, "")
	s.spinner.do(b, command{Do: "stop"}, nil)

	r.add(alone, attacked, control, x)
}

// A sample is what one phase showed.
type sample struct {
	phase
	server serverPhase
}

func (s *bench) phase(b *testing.B, file string) sample {
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute+2**phaseFlag)
	defer cancel()
	var m sample
	s.server.do(b, command{Do: "begin", File: file}, nil)
	m.phase = s.g.measure(ctx, *phaseFlag)
	s.server.do(b, command{Do: "finish"}, &m.server)
	begin := time.Now()
	if err := answered(ctx, s.name, s.addr); err == nil {
		m.dial = time.Since(begin).Seconds() * 1e3
	}
	return m
}
