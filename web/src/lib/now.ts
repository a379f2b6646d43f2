import { useEffect, useState } from 'react';

/** The time, anew every `everyMs` milliseconds; 0 = only once. */
export const useNow = (everyMs: number): number => {
	const [now, setNow] = useState(Date.now);
	useEffect(() => {
		if (everyMs <= 0) return undefined;
		const timer = setInterval(() => setNow(Date.now()), everyMs);
		return () => clearInterval(timer);
	}, [everyMs]);
	return now;
};
