/** Texts of the first visit. */
export const tour = {
	title: 'Welcome to Limner',
	skip: 'Skip the tour',
	next: 'Next',
	back: 'Back',
	done: 'Done',
	again: 'Show the tour again',
	of: 'of',
	first: 'Make my first picture',
	steps: [
		{
			title: 'Welcome to Limner',
			text: 'Write what a picture should show, and the machines of this pool draw it. One click makes a first one.',
		},
		{
			title: 'Start from a picture',
			text: 'Edit takes a picture, marks a part of it, and draws that part anew. The rest stays as it is.',
		},
		{
			title: 'Compare and combine',
			text: 'Grid makes one picture over two settings as a table. Flows lets pictures start from each other.',
		},
		{
			title: 'Find everything again',
			text: 'Gallery keeps what was made, with its settings: use them again, or copy them as a call. Pool shows who works on what.',
		},
	],
	noModel: 'No machine is connected yet. Pool has the command that lets one join.',
} as const;
