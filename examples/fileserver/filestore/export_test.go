package filestore

import "os"

// SetWrite puts another function in place of what writes to files. It must be
// called before the Store is used.
func (s *Store) SetWrite(write func(f *os.File, p []byte) (int, error)) { s.uploads.write = write }

// Uploads returns how many uploads somebody works on.
func (s *Store) Uploads() int {
	s.uploads.mu.Lock()
	defer s.uploads.mu.Unlock()
	return len(s.uploads.open)
}
