// Package benchpb is the typed workload's struct as protobuf, for the systems that speak it.
package benchpb

//go:generate protoc --go_out=. --go_opt=paths=source_relative item.proto
