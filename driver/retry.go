package driver

// retryOnce does once more what failed and must be done: the kernel may have been
// short of something for a moment.
func retryOnce(do func() error) error {
	err := do()
	if err == nil {
		return nil
	}
	if again := do(); again == nil {
		return nil
	}
	return err
}

// retried is [retryOnce] for what has an answer.
func retried[T any](question func() (T, error)) (answer T, err error) {
	err = retryOnce(func() (err error) { answer, err = question(); return err })
	return answer, err
}
