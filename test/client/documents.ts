/** The JavaScript of the old systems' documents, word for word, in the order in which it makes sense. */

export const NEURAL_FLOW = {
  register: `const result = await jwtAuth.register({
    email: 'user@example.com',
    password: 'password',
    username: 'username',
    user_type: 'individual'
});`,
  login: `const result = await jwtAuth.login('user@example.com', 'password');
if (result.success) {
    console.log('Logged in:', result.user);
    // Tokens automatically stored
}`,
  request: `const response = await jwtAuth.apiRequest('/core/api/dashboard/');
const data = await response.json();`,
};

export const PHONE_OTP = {
  initialize: `// JWT client is automatically initialized as window.jwtClient
const jwtClient = window.jwtClient;`,
  sendOtp: `try {
    const response = await jwtClient.sendOTP('09123456789', 'register');
    console.log('OTP sent:', response.message);
} catch (error) {
    console.error('OTP send failed:', error.message);
}`,
  register: `try {
    const response = await jwtClient.register('09123456789', '123456', 'John', 'Doe');
    console.log('Registration successful:', response.data.user);
    // Tokens are automatically saved
} catch (error) {
    console.error('Registration failed:', error.message);
}`,
  login: `try {
    const response = await jwtClient.login('09123456789', '123456');
    console.log('Login successful:', response.data.user);
    // Tokens are automatically saved
} catch (error) {
    console.error('Login failed:', error.message);
}`,
  request: `try {
    const response = await jwtClient.apiRequest('/dashboard/');
    const data = await response.json();
    console.log('User profile:', data);
} catch (error) {
    console.error('API request failed:', error);
}`,
  logout: `try {
    await jwtClient.logout();
    console.log('Logged out successfully');
} catch (error) {
    console.error('Logout failed:', error);
}`,
  status: `if (jwtClient.isAuthenticated()) {
    console.log('User is authenticated');
    const userData = jwtClient.getUserData();
    console.log('User data:', userData);
} else {
    console.log('User is not authenticated');
}`,
};

export const PYCODER = {
  register: `// User submits registration/login form
const response = await axiosClient.post('/api/register/', {
  email: 'user@example.com',
  password: 'password123'
})`,
  store: `localStorage.setItem('access_token', tokens.access)
localStorage.setItem('refresh_token', tokens.refresh)`,
  requestInterceptor: `// Automatically adds token to every request
axiosClient.interceptors.request.use((config) => {
  const token = localStorage.getItem('access_token')
  if (token) {
    config.headers.Authorization = \`Bearer \${token}\`
  }
  return config
})`,
  responseInterceptor: `axiosClient.interceptors.response.use(
  (response) => response,
  async (error) => {
    if (error.response?.status === 401) {
      // Token expired, refresh it
      const refreshToken = localStorage.getItem('refresh_token')
      const response = await axios.post('/api/token/refresh/', {
        refresh: refreshToken
      })
      
      // Store new access token
      localStorage.setItem('access_token', response.data.access)
      
      // Retry original request
      originalRequest.headers.Authorization = \`Bearer \${response.data.access}\`
      return axiosClient(originalRequest)
    }
  }
)`,
  logout: `const logout = () => {
  localStorage.removeItem('access_token')
  localStorage.removeItem('refresh_token')
  // Redirect to login
}`,
};
